//! The AWS wire contract: operations, shapes, limits, errors, paging and one codec per protocol.
