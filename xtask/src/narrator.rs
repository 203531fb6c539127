/// Says what happens: on stdout, or on stderr where stdout belongs to JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narrator {
    to_stderr: bool,
}

impl Narrator {
    pub(crate) fn new(to_stderr: bool) -> Self {
        Self { to_stderr }
    }

    pub(crate) fn say(&self, text: &str) {
        if self.to_stderr {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }
}
