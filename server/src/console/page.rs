//! The frame of every page.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::sessions::SignedIn;

/// The pages, in the order of the navigation: address and name.
const PAGES: [(&str, &str); 5] = [
    ("/", "Live"),
    ("/clients", "Clients"),
    ("/reports", "Reports"),
    ("/tasks", "Tasks"),
    ("/updates", "Updates"),
];

/// A page for who is signed in.
pub(super) fn inside(title: &str, here: &str, session: &SignedIn, content: &Markup) -> Markup {
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        header.top {
            span.name { "fwdrill" }
            nav aria-label="Pages" {
                @for (address, name) in PAGES {
                    a href=(address) aria-current=[(address == here).then_some("page")] { (name) }
                }
            }
            form method="post" action="/sign-out" {
                (csrf(session))
                button type="submit" { "Sign out" }
            }
        }
        main #content tabindex="-1" { (content) }
    };
    document(title, &body)
}

/// A page for who is not.
pub(super) fn outside(title: &str, content: &Markup) -> Markup {
    document(title, &html! { main #content.outside { (content) } })
}

/// The hidden field that every form of a session carries.
pub(super) fn csrf(session: &SignedIn) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf()); }
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - fwdrill" }
                link rel="stylesheet" href="/console.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                script src="/console.js" defer {}
            }
            body { (body) }
        }
    }
}

/// `2026-11-24 17:30:05`, UTC.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%Y-%m-%d %H:%M:%S")) } }
}

/// "once", "7 times".
pub(super) fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// "512 B", "1.5 MiB".
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}
