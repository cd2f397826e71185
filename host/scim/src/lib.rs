//! SCIM 2.0, pure.
