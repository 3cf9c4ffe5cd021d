// Package util stands in for a module whose home on the web is gone; what is built here uses nothing of it.
package util
