//! Pieces of which messages are made, in all layers.

use std::path::Path;

/// A number with its noun, as `1 index` or `3 indices`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A path as a word of a shell, in quotes if it needs them.
pub fn shell_path(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

/// A text as a word of a shell, in quotes if it needs them.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_noun_that_fits() {
        let indices = |count| counted(count, "index", "indices");
        assert_eq!((&*indices(0), &*indices(1), &*indices(2)), ("0 indices", "1 index", "2 indices"));
    }

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        for text in ["/plain/path-1", "", "two words", "it's", "$HOME `x` \"y\" \\ *", "ä"] {
            let script = format!("printf %s {}", shell_word(text));
            let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), text);
        }
    }
}
