//! The data plane: accept, route, identify, authorise, balance, stream, record.
