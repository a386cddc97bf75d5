//! One task a source, one courier a workspace.
