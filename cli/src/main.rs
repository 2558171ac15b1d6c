//! The `paintbox` binary; everything is in the library, so that a test can be this program too.

fn main() -> std::process::ExitCode {
    paintbox_cli::main()
}
