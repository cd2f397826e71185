//! Events on their way to targets. The store orders deliveries (per person, leavers first); each kind of target
//! has a file that knows how to hand one event over.

pub mod webhook;
