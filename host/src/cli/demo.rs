//! stub
/// demo
#[derive(clap::Args)]
pub struct Demo {}
impl Demo {
    /// run
    pub async fn run(self, _output: crate::cli::Output) -> anyhow::Result<std::process::ExitCode> {
        Ok(std::process::ExitCode::SUCCESS)
    }
}
