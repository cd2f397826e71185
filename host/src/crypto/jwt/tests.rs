//! Tokens and key sets: what is accepted, and all that is not.

use super::*;
