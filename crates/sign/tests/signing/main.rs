//! The signing proxy in one process: an application on one side, a service that verifies on the other, real sockets
//! between them.

mod failures;
mod identity;
mod requests;
mod world;
