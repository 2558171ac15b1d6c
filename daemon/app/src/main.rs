//! The daemon's binary.

fn main() -> std::process::ExitCode {
    paintbox_app::main()
}
