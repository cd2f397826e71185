//! How a tenant lets people begin, move, pause and leave: `[processes]` in `tenant.toml`.

use serde::{Deserialize, Serialize};

use super::{InvitationSettings, ProcessKind, StepList};

/// What a tenant says of people who join, move and leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings {
    /// The IANA name of the time zone in which dates without one are read: `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// The SCIM path of the date on which somebody begins.
    pub start_date_attribute: Option<String>,
    /// The tag of the account with that date, where a plugin makes it.
    pub start_date_tag: Option<String>,
    /// The SCIM path of somebody's last day.
    pub end_date_attribute: Option<String>,
    /// The tag of the account with that day.
    pub end_date_tag: Option<String>,
    /// How many days before the end an event reminds of it; 0 for none.
    pub remind_days: u32,
    /// For how many days somebody who moves keeps plain roles that nothing gives any more; 0 for none.
    pub overlap_days: u32,
    /// Within how many hours targets are to acknowledge a departure, for its receipt.
    pub target_hours: u32,
    /// How many days after a removal what is personal is erased; never unless given.
    pub retain_days: Option<u32>,
    /// What is to be done for somebody who comes.
    pub joiner: StepList,
    /// What is to be done for somebody who moves.
    pub mover: StepList,
    /// What is to be done for somebody who goes.
    pub leaver: StepList,
    /// Who is invited.
    pub invitations: InvitationSettings,
}

impl ProcessSettings {
    /// The steps of a process.
    #[must_use]
    pub fn steps(&self, kind: ProcessKind) -> &StepList {
        match kind {
            ProcessKind::Joiner => &self.joiner,
            ProcessKind::Mover => &self.mover,
            ProcessKind::Leaver => &self.leaver,
        }
    }
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            time_zone: None,
            start_date_attribute: None,
            start_date_tag: None,
            end_date_attribute: None,
            end_date_tag: None,
            remind_days: 0,
            overlap_days: 0,
            target_hours: 24,
            retain_days: None,
            joiner: StepList::default(),
            mover: StepList::default(),
            leaver: StepList::default(),
            invitations: InvitationSettings::default(),
        }
    }
}
