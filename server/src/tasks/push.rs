//! A task on its way to a client's own port.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fwdrill_protocol::task::{MOST_TASK_BYTES, SIGNATURE_HEADER, TASKS_PATH, Task, TaskReceipt, TaskResult};
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::events::EnrolmentToken;
use crate::store::AgentRow;
use crate::task_port::{Dialled, dial};

/// A client only has to take note of a task, not to do it.
const ANSWER: Duration = Duration::from_secs(3);

/// Posts a task where its agent last came from. Returns where that was, and what came of the task if the agent knows it already;
/// or why it does not have it, for people.
pub(super) async fn push(
    token: &EnrolmentToken,
    agent: &AgentRow,
    task: &Task,
) -> Result<(SocketAddr, Option<TaskResult>), String> {
    let port = agent.task_port.ok_or("the agent listens nowhere")?;
    let to = SocketAddr::new(agent.peer.ip(), port);
    let Dialled { outcome, stream, .. } = dial(agent.local.ip(), to).await;
    let stream = stream.ok_or_else(|| format!("{to} cannot be reached: {}", outcome.name()))?;
    match timeout(ANSWER, post(stream, to, token, task)).await {
        Ok(Ok(result)) => Ok((to, result)),
        Ok(Err(why)) => Err(format!("{to} does not take it: {why}")),
        Err(_) => Err(format!("{to} says nothing")),
    }
}

async fn post(
    stream: TcpStream,
    to: SocketAddr,
    token: &EnrolmentToken,
    task: &Task,
) -> Result<Option<TaskResult>, String> {
    let body = serde_json::to_vec(task).map_err(|error| error.to_string())?;
    let request = Request::post(TASKS_PATH)
        .header(HOST, to.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header(SIGNATURE_HEADER, token.sign(&body))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let failed = |error: hyper::Error| crate::chain(&error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // How it ends shows in the response.
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    let said = Limited::new(response.into_body(), MOST_TASK_BYTES).collect().await;
    let said = said.map_err(|error| error.to_string())?.to_bytes();
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err("it has another enrolment token (401)".to_owned()),
        StatusCode::MISDIRECTED_REQUEST => return Err("another client answers there (421)".to_owned()),
        status => return Err(format!("{status}")),
    }
    let receipt: TaskReceipt = serde_json::from_slice(&said).map_err(|_| "what it answers is no receipt".to_owned())?;
    if receipt.schema != TaskReceipt::SCHEMA || receipt.id != task.id {
        return Err("what it answers is no receipt of this task".to_owned());
    }
    Ok(receipt.result.filter(|result| result.id == task.id))
}
