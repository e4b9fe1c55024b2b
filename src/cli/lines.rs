//! Line-based input and JSON Lines output for subcommands in pipelines.
//!
//! An invalid line also produces one line of output. Overlong lines are truncated to bound the memory. A closed output
//! pipe (`| head`) ends the work without an error.

use std::io::{self, BufRead, Read as _, Write};

use serde::Serialize;

use crate::error::{Error, Result};

/// Whether to continue with the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The line was written.
    Continue,
    /// The reader has closed the pipe.
    ReaderGone,
}

/// Reads the next line without its line break. Of a longer line, only the first `max_bytes + 1` bytes are kept, which
/// lets the caller detect it. Returns `false` at the end of the input.
///
/// # Errors
/// [`Error::Unavailable`] if reading fails.
pub(super) fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, max_bytes: usize) -> Result<bool> {
    let failed = |error: io::Error| Error::unavailable("standard input", error);
    let kept = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    line.clear();
    if input.take(kept).read_until(b'\n', line).map_err(failed)? == 0 {
        return Ok(false);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    } else {
        input.skip_until(b'\n').map_err(failed)?;
    }
    Ok(true)
}

/// Writes `answer` as one line of JSON and flushes it.
///
/// # Errors
/// [`Error::Unavailable`] if writing fails, except for a closed pipe.
pub(super) fn write_line(output: &mut impl Write, answer: &impl Serialize) -> Result<Flow> {
    write_text(output, &serde_json::to_string(answer).map_err(Error::internal)?)
}

/// Writes `text` and a line break, and flushes them.
///
/// # Errors
/// As [`write_line`].
pub(super) fn write_text(output: &mut impl Write, text: &str) -> Result<Flow> {
    // A single write never leaves half a line in the pipe.
    match output.write_all(format!("{text}\n").as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(Flow::Continue),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::ReaderGone),
        Err(error) => Err(Error::unavailable("standard output", error)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pipe that closes after `.0` writes.
    pub(in crate::cli) struct ClosesAfter(pub(in crate::cli) usize, pub(in crate::cli) Vec<u8>);

    impl Write for ClosesAfter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0 -= 1;
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(mut input: &[u8], max_bytes: usize) -> Vec<Vec<u8>> {
        let mut line = Vec::new();
        let mut all = Vec::new();
        while read_line(&mut input, &mut line, max_bytes).unwrap() {
            all.push(line.clone());
        }
        all
    }

    #[test]
    fn every_line_is_read_once_with_any_line_ending() {
        assert_eq!(lines(b"", 9), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a\n\nb\r\n\xff\nlast", 9), [&b"a"[..], b"", b"b", b"\xff", b"last"]);
    }

    #[test]
    fn an_overlong_line_is_truncated_and_the_next_one_is_complete() {
        assert_eq!(lines(b"abc\nabcd\nabcdefgh\nxyz\n", 3), [&b"abc"[..], b"abcd", b"abcd", b"xyz"]);
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let mut output = ClosesAfter(1, Vec::new());
        assert_eq!(write_line(&mut output, &1).unwrap(), Flow::Continue);
        assert_eq!(write_line(&mut output, &2).unwrap(), Flow::ReaderGone);
        assert_eq!(output.1, b"1\n");
    }
}
