//! The contract suite, stamped onto both databases.
