//! The secret that activators and autoscalers share.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Shorter ones can be guessed.
const BYTES_MIN: usize = 16;

/// Longer ones are no secret but another file.
const BYTES_MAX: usize = 4096;

/// Reads it, without the white space around it. The error is a sentence for people.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let unread = |error: io::Error| format!("--token-file {path:?} cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unread)?;
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    let token = str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_fit = (BYTES_MIN..=BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    match is_fit {
        true => Ok(token.to_owned()),
        false => Err(format!(
            "--token-file {path:?} must hold {BYTES_MIN} to {BYTES_MAX} visible ASCII characters"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_can_be_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(read(&path).unwrap_err().contains("cannot be read"));
        for (text, is_fit) in [
            ("0123456789abcdef\n", true),
            ("0123456789abcde\n", false),
            ("0123456789 abcdef", false),
            ("", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).is_ok(), is_fit, "{text:?}");
        }
    }
}
