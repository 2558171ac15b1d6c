//! Memory as Linux sees it; other systems do not tell a process as much.

#[cfg(target_os = "linux")]
mod linux;

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}
