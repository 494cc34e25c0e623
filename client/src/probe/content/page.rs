//! What a page says that came in the place of an answer: its head, and as much of its body as a diagnosis needs.

use http::HeaderMap;

use crate::http::{HttpError, Response};
use crate::observation::content::{Marks, Page};

/// Of a page that is longer, the beginning says enough.
const MOST: usize = 32 * 1024;

/// How much of what a reader would see is kept, in characters.
const LONGEST_TEXT: usize = 300;

/// And of a header's value.
const LONGEST_VALUE: usize = 200;

/// Headers that caches and proxies add, or change.
const MARKS: &[&str] = &[
    "age",
    "via",
    "warning",
    "x-cache",
    "x-cache-hits",
    "x-cache-lookup",
    "cf-cache-status",
    "x-varnish",
    "x-squid-error",
    "proxy-authenticate",
    "server",
];

/// The marks of whoever answered.
pub(crate) fn marks(headers: &HeaderMap) -> Marks {
    MARKS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), value(headers, name)?)))
        .collect()
}

/// Reads a page that was not asked for. What comes before its body breaks off counts.
pub(crate) async fn read(mut response: Response, path: &str) -> Page {
    let mut page = head(&response, path);
    let mut body = Vec::new();
    while body.len() < MOST {
        let chunk: Result<_, HttpError> = response.chunk().await;
        match chunk {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes[..bytes.len().min(MOST - body.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    describe(&mut page, &body);
    page
}

/// The page as its head tells.
pub(crate) fn head(response: &Response, path: &str) -> Page {
    let headers = response.headers();
    Page {
        request: format!("GET {path}"),
        status: response.status().as_u16(),
        content_type: value(headers, "content-type"),
        location: value(headers, "location"),
        ..Page::default()
    }
}

/// Adds what the body shows.
pub(crate) fn describe(page: &mut Page, body: &[u8]) {
    let html = String::from_utf8_lossy(&body[..body.len().min(MOST)]);
    // Same length as `html`, so that positions are the same.
    let lower = html.to_ascii_lowercase();
    page.title = element(&html, &lower, "title").map(|title| shortened(&visible(&title), LONGEST_VALUE));
    page.form = lower.contains("<form");
    page.password = ["type=\"password\"", "type='password'", "type=password"]
        .iter()
        .any(|field| lower.contains(field));
    // A page without a form that sends its reader somewhere: as good as a redirect.
    if page.location.is_none() {
        page.location = refresh(&html, &lower);
    }
    page.text = shortened(&visible(&html), LONGEST_TEXT);
}

fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(shortened(&String::from_utf8_lossy(value), LONGEST_VALUE))
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// What stands between `<name ...>` and `</name>`.
fn element(html: &str, lower: &str, name: &str) -> Option<String> {
    let opens = lower.find(&format!("<{name}"))?;
    let begins = opens + lower.get(opens..)?.find('>')? + 1;
    let length = lower.get(begins..)?.find(&format!("</{name}"))?;
    html.get(begins..begins + length).map(ToOwned::to_owned)
}

/// Where `<meta http-equiv="refresh" content="0; url=...">` leads.
fn refresh(html: &str, lower: &str) -> Option<String> {
    let at = lower
        .find("http-equiv=\"refresh\"")
        .or(lower.find("http-equiv='refresh'"))?;
    let tag = at + lower.get(at..)?.find("url=")? + 4;
    let rest = html.get(tag..)?;
    let end = rest.find(['"', '\'', '>', ' ']).unwrap_or(rest.len());
    rest.get(..end)
        .filter(|to| !to.is_empty())
        .map(|to| shortened(to, LONGEST_VALUE))
}

/// Text without tags, scripts and styles; runs of space are one.
fn visible(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(opens) = rest.find('<') {
        text.push_str(&rest[..opens]);
        text.push(' ');
        let tag = &rest[opens..];
        let hidden = ["script", "style"].into_iter().find(|name| {
            tag.get(1..=name.len())
                .is_some_and(|there| there.eq_ignore_ascii_case(name))
        });
        let end = match hidden {
            Some(name) => tag.to_ascii_lowercase().find(&format!("</{name}")).unwrap_or(tag.len()),
            None => 0,
        };
        rest = tag[end..].find('>').map_or("", |close| &tag[end + close + 1..]);
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn described(body: &str) -> Page {
        let mut page = Page::default();
        describe(&mut page, body.as_bytes());
        page
    }

    #[test]
    fn a_page_shows_its_title_its_text_and_what_is_to_be_filled_in() {
        let page = described(
            "<HTML><Head><TITLE lang=en>Guest\n network</TITLE><style>p { color: red }</style>\
             <script>if (1 < 2) { login() }</script></head>\
             <body><form action=/go><p>Please <b>log in</b><input type=\"password\"></form></body></html>",
        );
        assert_eq!(page.title.as_deref(), Some("Guest network"));
        assert_eq!(page.text, "Guest network Please log in");
        assert!(page.form && page.password);
    }

    #[test]
    fn a_page_that_sends_its_reader_on_is_a_redirect() {
        let page = described("<meta http-equiv=\"refresh\" content=\"0; URL=http://portal.example/login\">");
        assert_eq!(page.location.as_deref(), Some("http://portal.example/login"));
        assert_eq!(described("{\"error\": \"none\"}").location, None);
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in proptest::collection::vec(any::<u8>(), 0..400), html in "[<>/a-zäß \"'=]{0,200}") {
            let mut page = Page::default();
            describe(&mut page, &body);
            describe(&mut page, html.as_bytes());
            prop_assert!(page.text.chars().count() <= LONGEST_TEXT);
        }
    }
}
