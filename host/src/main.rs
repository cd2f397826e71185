//! The `rolecall` binary: arguments in, exit code out. Everything else is `rolecall::cli`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    rolecall::cli::main().await
}
