//! Ordered key-value state with revisions, transactions and watch.
