//! Lines in, JSON lines out, for the subcommands that are made for pipes.
//!
//! A line that cannot be read is still a line and gets its answer; one that is longer than any sensible input is
//! cut, so that no input can fill the memory. When the reader of the output has gone away (`| head`), the work ends
//! quietly.

use std::io::{self, BufRead, Read as _, Write};

use serde::Serialize;

use crate::error::{Error, Result};

/// Whether to go on with the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The answer was written.
    Continue,
    /// Nobody reads the answers any more.
    ReaderGone,
}

/// Reads the next line into `line`, without its end. Of a line longer than `max_bytes` the first `max_bytes + 1`
/// bytes are kept, so that it is seen to be too long. `false` at the end of the input.
///
/// # Errors
/// [`Error::Unavailable`] when the input fails.
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

/// Writes `answer` as one line of JSON and flushes it, so that whoever waits for it gets it now.
///
/// # Errors
/// [`Error::Unavailable`] when the output fails for another reason than that its reader has gone.
pub(super) fn write_line(output: &mut impl Write, answer: &impl Serialize) -> Result<Flow> {
    write_text(output, &serde_json::to_string(answer).map_err(Error::internal)?)
}

/// Writes `text` and an end of line, and flushes it.
///
/// # Errors
/// As [`write_line`].
pub(super) fn write_text(output: &mut impl Write, text: &str) -> Result<Flow> {
    // One write, so that a reader never gets half a line.
    match output.write_all(format!("{text}\n").as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(Flow::Continue),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::ReaderGone),
        Err(error) => Err(Error::unavailable("standard output", error)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pipe whose reader leaves after `0` writes.
    pub(in crate::cli) struct LeavesAfter(pub(in crate::cli) usize, pub(in crate::cli) Vec<u8>);

    impl Write for LeavesAfter {
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
    fn every_line_is_read_once_whatever_ends_it() {
        assert_eq!(lines(b"", 9), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a\n\nb\r\n\xff\nlast", 9), [&b"a"[..], b"", b"b", b"\xff", b"last"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        assert_eq!(lines(b"abc\nabcd\nabcdefgh\nxyz\n", 3), [&b"abc"[..], b"abcd", b"abcd", b"xyz"]);
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let mut output = LeavesAfter(1, Vec::new());
        assert_eq!(write_line(&mut output, &1).unwrap(), Flow::Continue);
        assert_eq!(write_line(&mut output, &2).unwrap(), Flow::ReaderGone);
        assert_eq!(output.1, b"1\n");
    }
}
