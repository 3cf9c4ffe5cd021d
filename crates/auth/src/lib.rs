//! SigV4 signing and verification: bytes and values in, a VerifiedCaller out.
