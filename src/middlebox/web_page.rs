//! Something that answers HTTP requests in the server's place with a page of its own: a URL filter (403), a captive portal
//! (200, please log in; or a redirect to where that is said), or a web server of another kind (404).

use clap::{Args, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::proxy::listen;

#[derive(Debug, Args)]
pub(crate) struct WebPageArgs {
    /// The port that connections are redirected to
    #[arg(long, value_name = "PORT", default_value = "3128")]
    listen: u16,
    /// Whose page
    #[arg(long, value_enum, value_name = "PAGE")]
    page: Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Page {
    /// A URL filter's: 403
    Blocked,
    /// A captive portal's: 200
    Portal,
    /// A captive portal's redirect to its login page: 302
    Redirect,
    /// Another web server's: 404
    Other,
}

impl Page {
    fn answer(self) -> String {
        let (status, more, body) = match self {
            Page::Blocked => (
                "403 Forbidden",
                "",
                "<html><head><title>Access denied</title></head><body><h1>Blocked by policy</h1><p>Category: unknown.</p></body></html>",
            ),
            Page::Portal => (
                "200 OK",
                "",
                "<html><head><title>Welcome</title></head><body><form action=\"/login\" method=\"post\"><h1>Please log in to use this network</h1></form></body></html>",
            ),
            Page::Redirect => (
                "302 Found",
                "Location: http://portal.example/start\r\n",
                "<html><head><title>302 Found</title></head><body>The document has moved.</body></html>",
            ),
            Page::Other => (
                "404 Not Found",
                "Server: nginx\r\n",
                "<html><head><title>404 Not Found</title></head><body><center><h1>404 Not Found</h1></center><hr><center>nginx</center></body></html>",
            ),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

pub(super) async fn run(args: WebPageArgs) -> anyhow::Result<()> {
    let listener = listen(args.listen).await?;
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(answer(client, args.page.answer()));
    }
}

async fn answer(mut client: TcpStream, answer: String) {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(client.read_buf(&mut read).await, Ok(1..)) {
            return;
        }
    }
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}
