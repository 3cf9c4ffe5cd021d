//! The server over real sockets on loopback, with resolvers behind it that the tests write.

mod aliases;
mod serving;
mod world;
