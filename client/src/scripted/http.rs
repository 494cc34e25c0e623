use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{Tree, accept, reset};

/// An HTTP server for GETs, one per connection.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    tree: Mutex<Tree>,
    faults: Mutex<HttpFaults>,
    requests: Mutex<Vec<Request>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// What the server does wrong.
#[derive(Default, Clone)]
pub(crate) struct HttpFaults {
    /// One for each body of more bytes than that, in turn: closed after so many.
    pub(crate) cuts: VecDeque<usize>,
    /// A cut is a reset, not an orderly close.
    pub(crate) cuts_reset: bool,
    /// The whole file is sent, whatever range was asked for.
    pub(crate) ignores_range: bool,
    /// The request is read and never answered.
    pub(crate) silent: bool,
    /// Only the head is sent, then nothing.
    pub(crate) body_silent: bool,
    /// These files are served with one byte changed.
    pub(crate) wrong: Vec<String>,
    /// In place of the answer to this path.
    pub(crate) answers: Vec<(&'static str, &'static str)>,
    /// Put in place as the tree once this file has been asked for.
    pub(crate) publish_after: Option<(String, Tree)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(value)
    }
}

impl HttpServer {
    pub(crate) async fn start(tree: Tree, faults: HttpFaults) -> Self {
        let state = Arc::new(State {
            tree: Mutex::new(tree),
            faults: Mutex::new(faults),
            ..State::default()
        });
        let shared = state.clone();
        let serve = move |stream| {
            let state = shared.clone();
            async move {
                let _ = serve(stream, &state).await;
            }
        };
        let (address, task) = accept(serve).await;
        HttpServer {
            address,
            state,
            _task: task,
        }
    }

    pub(crate) fn set_tree(&self, tree: Tree) {
        *self.state.tree.lock().unwrap() = tree;
    }

    pub(crate) fn set_faults(&self, faults: HttpFaults) {
        *self.state.faults.lock().unwrap() = faults;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.state.requests.lock().unwrap().clear();
    }
}

async fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    state.requests.lock().unwrap().push(request.clone());
    let mut stream = stream.into_inner();
    let faults = state.faults.lock().unwrap().clone();
    if faults.silent {
        return until_the_client_goes(stream).await;
    }
    let path = request.path.as_str();
    if let Some((_, answer)) = faults.answers.iter().find(|(of, _)| *of == path) {
        return stream.write_all(answer.as_bytes()).await;
    }
    let Some(mut bytes) = state.tree.lock().unwrap().get(path).cloned() else {
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            .await;
    };
    if let Some((after, tree)) = faults.publish_after
        && after == path
    {
        *state.tree.lock().unwrap() = tree;
        state.faults.lock().unwrap().publish_after = None;
    }
    // The tag is the content's, before anything goes wrong with it.
    let etag = etag_of(path, &bytes);
    if faults.wrong.iter().any(|wrong| wrong == path) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    if request.header("if-none-match") == Some(&etag) {
        let head = format!("HTTP/1.1 304 Not Modified\r\netag: {etag}\r\n\r\n");
        return stream.write_all(head.as_bytes()).await;
    }
    let offset = request
        .header("range")
        .filter(|_| !faults.ignores_range && request.header("if-range").is_none_or(|tag| tag == etag))
        .map(|range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap()
        });
    let total = bytes.len();
    let body = &bytes[offset.unwrap_or(0).min(total)..];
    let (status, range) = match offset {
        Some(offset) => (
            "206 Partial Content",
            format!("content-range: bytes {offset}-{}/{total}\r\n", total - 1),
        ),
        None => ("200 OK", String::new()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\netag: {etag}\r\n{range}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if faults.body_silent {
        return until_the_client_goes(stream).await;
    }
    let cut = {
        let mut faults = state.faults.lock().unwrap();
        let due = faults.cuts.front().is_some_and(|at| *at < length);
        due.then(|| faults.cuts.pop_front()).flatten()
    };
    stream.write_all(&body[..cut.unwrap_or(length)]).await?;
    if cut.is_some() && faults.cuts_reset {
        reset(stream);
    }
    Ok(())
}

async fn until_the_client_goes(mut stream: TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => return Ok(Request { path, headers }),
        }
    }
}

/// As the real service does: the version answer's own tag, else one of the content.
fn etag_of(path: &str, bytes: &[u8]) -> String {
    match fwdrill_protocol::update_set::VersionAnswer::parse(bytes) {
        Ok(answer) if path == "/version" => answer.etag(),
        _ => format!(
            "\"{:x}-{}\"",
            bytes.len(),
            bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        ),
    }
}
