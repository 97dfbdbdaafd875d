//! Colour, where it is wanted. One place that knows escape codes.

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// Escape codes may be written.
    pub color: bool,
}

impl Tone {
    /// Text without any control code.
    pub const PLAIN: Tone = Tone { color: false };

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    /// Something went well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// Something failed.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
    /// Something to notice.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    /// More important.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// Text with its control characters escaped, so that nothing that is printed can move the cursor or hide a line.
pub fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() && c != '\t' { c.escape_default().collect() } else { vec![c] })
        .collect()
}
