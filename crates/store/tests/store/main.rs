//! The store from outside: the contract every engine keeps, and what is special to the embedded one.

mod contract;
mod crash;
mod embedded;
