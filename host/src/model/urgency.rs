//! Who waits for whom.

/// How urgent work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it: a request, a leaver.
    Live,
    /// A population is worked off. It goes behind whatever is live, in small pieces, so that what is live waits for one piece at most.
    Crowd,
}

/// How many pieces of live work go ahead of the crowd in a row: the crowd, in which somebody may be losing access, goes on under any load.
pub const LIVE_IN_A_ROW: usize = 8;
