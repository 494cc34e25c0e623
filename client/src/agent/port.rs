//! 2222: tasks of the server, and proofs for drills on this host.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::task::{MOST_TASK_BYTES, Order, SIGNATURE_HEADER, TASKS_PATH, Task, TaskReceipt, is_signed};
use fwdrill_protocol::task_port::{NONCE_HEADER, PROOF_PATH};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ledger::{Ledger, Taken};
use super::proofs::Proofs;

/// How long a connection may last: a request is small, and the answer is at once.
const LONGEST: Duration = Duration::from_secs(10);
/// A nonce is shorter.
const NONCE_BYTES: usize = 128;

/// What the port answers from.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) client: ClientName,
    /// Without a token nothing is a task.
    pub(super) token: Option<String>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) proofs: Proofs,
}

type Answer = Response<Full<Bytes>>;

impl Port {
    /// Lives one connection.
    pub(super) async fn live(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(move |request| {
            let port = self.clone();
            async move { Ok::<_, Infallible>(port.answer(request, peer).await) }
        });
        let connection = http1::Builder::new()
            .half_close(true)
            .max_header_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let ended = timeout(LONGEST, connection).await;
        tracing::debug!(%peer, ?ended, "a connection to the task port ended");
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        match (request.uri().path(), request.method()) {
            (PROOF_PATH, &Method::GET) => self.prove(&request, peer),
            (TASKS_PATH, &Method::POST) => self.take(request, peer).await,
            (PROOF_PATH, _) => refused(StatusCode::METHOD_NOT_ALLOWED, "only GET", Some((ALLOW, "GET"))),
            (TASKS_PATH, _) => refused(StatusCode::METHOD_NOT_ALLOWED, "only POST", Some((ALLOW, "POST"))),
            _ => refused(StatusCode::NOT_FOUND, "there is nothing here", None),
        }
    }

    fn prove(&self, request: &Request<Incoming>, peer: SocketAddr) -> Answer {
        let nonce = request
            .headers()
            .get(NONCE_HEADER)
            .and_then(|nonce| nonce.to_str().ok());
        let Some(nonce) = nonce.filter(|nonce| nonce.len() <= NONCE_BYTES) else {
            return refused(StatusCode::BAD_REQUEST, "there is no nonce to prove anything for", None);
        };
        match self.proofs.of(nonce, peer) {
            Some(proofs) => said(StatusCode::OK, "text/plain; charset=utf-8", proofs.into()),
            None => refused(StatusCode::NOT_FOUND, "no drill is running here", None),
        }
    }

    async fn take(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let signature = request.headers().get(SIGNATURE_HEADER).cloned();
        let length = request.body().size_hint().exact();
        let body = match length {
            None => return refused(StatusCode::LENGTH_REQUIRED, "the length of the body is not known", None),
            Some(length) if length > MOST_TASK_BYTES as u64 => {
                return refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than any task", None);
            }
            Some(_) => request.into_body().collect().await,
        };
        let Ok(body) = body.map(|body| body.to_bytes()) else {
            return refused(StatusCode::BAD_REQUEST, "the body ended early", None);
        };
        let signed = signature.as_ref().and_then(|signature| signature.to_str().ok());
        let ours = self
            .token
            .as_deref()
            .zip(signed)
            .is_some_and(|(token, signature)| is_signed(token, &body, signature));
        if !ours {
            tracing::warn!(%peer, "a task that is not signed with this client's enrolment token is refused");
            return refused(
                StatusCode::UNAUTHORIZED,
                "not signed with this client's enrolment token",
                None,
            );
        }
        match serde_json::from_slice::<Task>(&body) {
            Ok(task) if task.schema == Task::SCHEMA => self.take_one(task),
            Ok(_) | Err(_) => refused(StatusCode::BAD_REQUEST, "the body is no task (fwdrill.task/1)", None),
        }
    }

    fn take_one(&self, task: Task) -> Answer {
        if let Some((status, why)) = self.objection(&task) {
            return refused(status, why, None);
        }
        let id = task.id;
        let (known, result) = match self.ledger.take(task) {
            Taken::New => (false, None),
            Taken::Known(result) => (true, result),
            Taken::Full => {
                let after = Some((RETRY_AFTER, "60"));
                return refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "there is too much to do already",
                    after,
                );
            }
        };
        let receipt = TaskReceipt {
            schema: TaskReceipt::SCHEMA.to_owned(),
            id,
            known,
            result,
        };
        match serde_json::to_vec(&receipt) {
            Ok(json) => said(StatusCode::OK, "application/json", json.into()),
            Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the receipt cannot be written", None),
        }
    }

    /// Why a task is not taken, if it is not.
    fn objection(&self, task: &Task) -> Option<(StatusCode, &'static str)> {
        if task.client != self.client {
            return Some((StatusCode::MISDIRECTED_REQUEST, "this is another client"));
        }
        if task.is_expired(Timestamp::now()) {
            return Some((StatusCode::GONE, "the task is too old"));
        }
        (task.order == Order::Other).then_some((
            StatusCode::UNPROCESSABLE_ENTITY,
            "this client does not know such a task",
        ))
    }
}

fn refused(status: StatusCode, why: &'static str, field: Option<(HeaderName, &'static str)>) -> Answer {
    let mut answer = said(status, "text/plain; charset=utf-8", format!("{why}\n").into());
    if let Some((name, value)) = field {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn said(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::drill::DrillId;
    use fwdrill_protocol::task::{LIFETIME, sign};
    use fwdrill_protocol::task_port::proof;
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::{Request, get};

    const TOKEN: &str = "0123456789abcdef";

    /// A port of client `pc-1`, and where it is.
    async fn port(directory: &tempfile::TempDir, token: Option<&str>) -> (Arc<Port>, SocketAddr) {
        let port = Arc::new(Port {
            client: "pc-1".parse().unwrap(),
            token: token.map(str::to_owned),
            ledger: Arc::new(Ledger::open(directory.path().join("tasks.json"))),
            proofs: Proofs::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (serving, address) = (port.clone(), listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                tokio::spawn(serving.clone().live(stream, peer));
            }
        });
        (port, address)
    }

    async fn ask(to: SocketAddr, request: Request) -> (u16, String) {
        let response = get(to, &request, &Default::default()).await.unwrap();
        let status = response.status().as_u16();
        let said = response.bytes(4096).await.unwrap();
        (status, String::from_utf8(said).unwrap())
    }

    fn posted(body: &str, token: &str) -> Request {
        let signature = sign(token, body.as_bytes());
        Request::new("pc-1", TASKS_PATH)
            .post(body.to_owned())
            .header(SIGNATURE_HEADER, signature)
    }

    #[tokio::test]
    async fn only_what_is_signed_meant_for_this_client_new_enough_and_understood_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (port, at) = port(&directory, Some(TOKEN)).await;
        let good = Task::now("pc-1".parse().unwrap(), Order::Sync);
        let text = serde_json::to_string(&good).unwrap();
        let old = Task {
            at: good.at - LIFETIME - jiff::SignedDuration::from_secs(1),
            ..good.clone()
        };
        let cases = [
            (posted(&text, "fedcba9876543210"), 401),
            (Request::new("pc-1", TASKS_PATH).post(text.clone()), 401),
            (posted("{}", TOKEN), 400),
            (posted(&text.replace("task/1", "task/9"), TOKEN), 400),
            (posted(&text.replace("pc-1", "pc-2"), TOKEN), 421),
            (posted(&text.replace("\"sync", "\"reboot"), TOKEN), 422),
            (posted(&serde_json::to_string(&old).unwrap(), TOKEN), 410),
            (posted(&"x".repeat(MOST_TASK_BYTES + 1), TOKEN), 413),
            (Request::new("pc-1", TASKS_PATH), 405),
            (Request::new("pc-1", "/"), 404),
        ];
        for (request, status) in cases {
            assert_eq!(ask(at, request.clone()).await.0, status, "{request:?}");
        }
        let (status, said) = ask(at, posted(&text, TOKEN)).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(port.ledger.next().await, good);
        let others = std::iter::repeat_with(|| Task::now("pc-1".parse().unwrap(), Order::Probe));
        for other in others.take(32) {
            assert_eq!(port.ledger.take(other), Taken::New);
        }
        let another = Task::now("pc-1".parse().unwrap(), Order::Probe);
        let (status, _) = ask(at, posted(&serde_json::to_string(&another).unwrap(), TOKEN)).await;
        assert_eq!(status, 503);
        let (_, nobodys) = self::port(&directory, None).await;
        assert_eq!(ask(nobodys, posted(&text, "")).await.0, 401, "no token is no empty one");
    }

    #[tokio::test]
    async fn a_drill_is_proved_while_it_runs() {
        let directory = tempfile::tempdir().unwrap();
        let (port, at) = port(&directory, None).await;
        let asked = |nonce: &str| Request::new("pc-1", PROOF_PATH).header(NONCE_HEADER, nonce);
        assert_eq!(ask(at, asked("00")).await.0, 404);
        let drill = DrillId::random();
        let lease = port.proofs.enter(drill);
        let (status, said) = ask(at, asked("00")).await;
        assert_eq!((status, said.trim()), (200, proof(drill, "00").as_str()));
        assert_eq!(ask(at, asked(&"0".repeat(NONCE_BYTES + 1))).await.0, 400);
        assert_eq!(ask(at, Request::new("pc-1", PROOF_PATH)).await.0, 400);
        drop(lease);
        assert_eq!(ask(at, asked("00")).await.0, 404);
    }
}
