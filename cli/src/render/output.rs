//! The two streams that a command writes to.
//!
//! A reader that leaves early (`paintbox search | head`) is no error: the rest is dropped, and commands that could
//! go on for long look at [`Output::is_closed`].

use crate::error::CliError;
use crate::render::sanitize::is_hazard;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use std::io::{self, ErrorKind, Write};

pub(crate) struct Output {
    sink: Box<dyn Write + Send>,
    closed: bool,
}

impl Output {
    pub(crate) fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink, closed: false }
    }

    /// The reader has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes text and a line break, at once.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CliError> {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        self.write(&bytes)
    }

    /// Writes text and leaves the cursor behind it.
    pub(crate) fn prompt(&mut self, text: &str) -> Result<(), CliError> {
        self.write(text.as_bytes())
    }

    /// Writes an object as one line of JSON.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result<(), CliError> {
        let mut bytes = Vec::new();
        object
            .serialize(&mut Serializer::with_formatter(&mut bytes, Harmless))
            .map_err(|error| CliError::Stream { action: "write JSON", source: error.into() })?;
        bytes.push(b'\n');
        self.write(&bytes)
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        if self.closed {
            return Ok(());
        }
        match self.sink.write_all(bytes).and_then(|()| self.sink.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.map_err(|source| CliError::Stream { action: "write the output", source }),
        }
    }
}

/// Compact JSON in which characters that steer terminals are escaped, so that it is safe to look at and still says
/// every character.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| is_hazard(*c)) {
            CompactFormatter.write_string_fragment(writer, &fragment[from..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        CompactFormatter.write_string_fragment(writer, &fragment[from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_is_one_harmless_line_that_reads_back_the_same() {
        let text = "a\x1b[31m\u{9b}2J\u{202e}\u{e0041}\n\"é👩‍🎨\x7f";
        let shared = Shared::default();
        Output::new(Box::new(shared.clone())).json(&serde_json::json!({ "name": text })).unwrap();
        let written = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        assert!(!written.trim_end_matches('\n').chars().any(is_hazard), "{written}");
        assert!(written.contains("é👩‍🎨") && written.ends_with("}\n"), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap()["name"], text);
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let mut output = Output::new(Box::new(Closed));
        output.line("a").unwrap();
        assert!(output.is_closed());
        output.json(&1).unwrap();
    }
}
