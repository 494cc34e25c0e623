//! A renderer turns a report into a string; nothing else formats. To add one: a file beside this
//! one and a line in [`Format`].

mod html;
mod json;
mod junit;
mod markdown;
mod sarif;
mod storm;
mod tap;
mod text;
mod words;

use std::path::Path;
use std::str::FromStr;

use fwdrill_protocol::report::Report;

pub use storm::{gathered as gathered_text, text as storm_text};
pub use tap::{Fact, Point, Tap};

macro_rules! formats {
    ($($variant:ident $name:literal $extension:literal $render:path;)*) => {
        /// A form that a report can take.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the name says it")]
        pub enum Format { $($variant,)* }

        impl Format {
            /// Every format.
            pub const ALL: &[Format] = &[$(Format::$variant),*];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Format::$variant => $name,)* }
            }

            /// The usual extension of files in this format.
            pub fn extension(self) -> &'static str {
                match self { $(Format::$variant => $extension,)* }
            }

            /// The report in this format, with a line end at its end. Text has ANSI colours in it; whoever prints it
            /// strips them where there is no terminal.
            pub fn render(self, report: &Report) -> String {
                match self { $(Format::$variant => $render(report),)* }
            }
        }
    };
}

formats! {
    Text "text" "txt" text::render;
    Json "json" "json" json::render;
    Junit "junit" "xml" junit::render;
    Tap "tap" "tap" tap::render;
    Markdown "markdown" "md" markdown::render;
    Html "html" "html" html::render;
    Sarif "sarif" "sarif" sarif::render;
}

impl Format {
    /// The format that a file's extension stands for.
    pub fn of_file(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.extension().eq_ignore_ascii_case(extension))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.name() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
                format!("expected one of {}", names.join(", "))
            })
    }
}

#[cfg(test)]
mod tests;
