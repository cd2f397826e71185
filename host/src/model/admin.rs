//! What people decide about a tenant, and the admin roles that tokens carry. Who may is said by admin policies; knows nothing of Cedar.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

word_enum!(
    /// What somebody wants to do in a tenant: the one list that the schema of admin policies, their questions and the API go by.
    AdminAction {
        /// Say yes to a role that waits for it.
        ApproveRole = "approveRole",
        /// Say no to a role that waits for a yes, or take a yes back.
        RejectRole = "rejectRole",
        /// Make an exception.
        MakeException = "makeException",
        /// End an exception before its time.
        EndException = "endException",
        /// Say in a review of a role whether it stays.
        DecideReview = "decideReview",
        /// Release or reject a hold.
        AnswerHold = "answerHold",
        /// Activate a revision, or be the first of two who do.
        ActivateRevision = "activateRevision",
        /// Activate a revision as the second person.
        ConfirmRevision = "confirmRevision",
        /// Check and store revisions.
        AuthorRevisions = "authorRevisions",
        /// Simulate and shadow revisions.
        TryRevisions = "tryRevisions",
        /// Have a plugin checked before it is part of a revision. Whose signatures count is said by operators.
        ManagePlugins = "managePlugins",
        /// Confirm the handle of a group.
        ConfirmHandles = "confirmHandles",
        /// Set reviews up, hand their lines on, close them.
        ManageReviews = "manageReviews",
        /// Make, let in, pause and delete connections, and guard them.
        ManageConnections = "manageConnections",
        /// Issue and end the credentials of connections.
        ManageCredentials = "manageCredentials",
        /// Say where events go.
        ManageTargets = "manageTargets",
        /// Send people on leave, and end a leave.
        ManageLeaves = "manageLeaves",
        /// Erase what is personal of removed accounts.
        EraseAccounts = "eraseAccounts",
        /// Change whatever has no action of its own.
        ManageTenant = "manageTenant",
    }
);

word_enum!(
    /// What a link is for.
    LinkPurpose {
        /// Begins a session, once.
        SignIn = "sign_in",
        /// Shows the set-up of one connection to somebody without an account, until it ends.
        Setup = "setup",
    }
);

/// The admin roles that the default policies know; a tenant's own policies may name others.
pub const ADMIN_ROLES: &[(&str, &str)] = &[
    (PLATFORM_OPERATOR, "everything in every tenant, whatever their admin policies say; on a token of the platform alone"),
    ("tenant-owner", "everything in the tenant"),
    ("policy-author", "writes, tries out and activates revisions, confirms the handles of groups"),
    ("plugin-author", "writes and tries out revisions, has plugins checked"),
    ("reviewer", "decides in reviews, and answers requests for the roles that they own"),
    ("auditor", "reads everything and changes nothing"),
];

/// The admin role of those who operate the platform.
pub const PLATFORM_OPERATOR: &str = "platform-operator";
/// The most admin roles of a token.
pub const ADMIN_ROLES_LIMIT: usize = 16;
/// The longest name of an admin role, in characters.
const ADMIN_ROLE_CHARS_LIMIT: usize = 64;

/// Whether an admin role can be called so: lower-case letters, digits and inner hyphens.
#[must_use]
pub fn is_admin_role(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=ADMIN_ROLE_CHARS_LIMIT).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_roles_are_plain_names() {
        assert!(ADMIN_ROLES.iter().all(|(name, _)| is_admin_role(name)));
        for wrong in ["", "-a", "a-", "A", "a b", "ü", &"x".repeat(65)] {
            assert!(!is_admin_role(wrong), "{wrong}");
        }
    }
}
