//! IAM by its API, and what it decides for other services' callers.

mod access;
mod identities;
mod installation;
mod policies;
mod simulation;
