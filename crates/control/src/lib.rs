//! The operations themselves: requests become transactions, statuses move, Snapshots are built.
