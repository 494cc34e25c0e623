//! Agents, the buttons that have them do something, and what came of it.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::task::Order;
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::page::{csrf, inside, time};
use super::sessions::SignedIn;
use super::sign_in::not_own_form;
use crate::store::{AgentRow, StoreError, TaskRow, TaskState};

/// How many tasks the list has.
const SHOWN: u32 = 100;

#[derive(Deserialize)]
pub(super) struct Give {
    csrf: String,
    task: String,
    /// Whose it is; empty: all agents'.
    #[serde(default)]
    client: String,
}

pub(super) async fn page(State(console): State<Arc<Console>>, session: SignedIn) -> Response {
    render(&console, &session, None).await
}

/// Somebody presses one of the buttons.
pub(super) async fn give(State(console): State<Arc<Console>>, session: SignedIn, Form(form): Form<Give>) -> Response {
    if !session.is_own_form(&form.csrf) {
        return not_own_form();
    }
    match give_to(
        &console,
        &form.task,
        Some(form.client.as_str()).filter(|name| !name.is_empty()),
    )
    .await
    {
        Ok(_) => Redirect::to("/tasks").into_response(),
        Err((status, trouble)) => {
            let mut response = render(&console, &session, Some(&trouble)).await;
            *response.status_mut() = status;
            response
        }
    }
}

/// Gives an order to one client or to all; or the reason why not.
pub(super) async fn give_to(
    console: &Console,
    order: &str,
    client: Option<&str>,
) -> Result<Vec<TaskRow>, (StatusCode, String)> {
    let unfit = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why);
    let order: Order = order.parse().map_err(|error| unfit(format!("{error}")))?;
    let client = match client {
        Some(name) => Some(name.parse::<ClientName>().map_err(|error| unfit(error.to_string()))?),
        None => None,
    };
    let Some(tasks) = &console.tasks else {
        return Err(unfit("an update agent gives no tasks".to_owned()));
    };
    match tasks.give(order, client).await {
        Ok(given) if given.is_empty() => Err((StatusCode::NOT_FOUND, "no such agent has checked in yet".to_owned())),
        Ok(given) => Ok(given),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&error))),
    }
}

/// Who has checked in, and the newest tasks.
pub(super) async fn known(console: &Console) -> Result<(Vec<AgentRow>, Vec<TaskRow>), StoreError> {
    match &console.store {
        Some(store) => Ok((store.agents().await?, store.tasks(SHOWN).await?)),
        None => Ok(Default::default()),
    }
}

async fn render(console: &Console, session: &SignedIn, trouble: Option<&str>) -> Response {
    let newest = console.shelf.current().await.map(|set| set.serial());
    let (status, known) = match known(console).await {
        Ok((agents, tasks)) => (StatusCode::OK, content(session, &agents, &tasks, newest)),
        Err(error) => {
            let why = crate::chain(&error);
            let trouble = html! { p.trouble role="alert" { (why) } };
            (StatusCode::INTERNAL_SERVER_ERROR, trouble)
        }
    };
    let content = html! {
        h1 { "Tasks" }
        @if let Some(trouble) = trouble { p.trouble role="alert" { "Nothing was given: " (trouble) } }
        (known)
    };
    (status, inside("Tasks", "/tasks", session, &content)).into_response()
}

fn content(session: &SignedIn, agents: &[AgentRow], tasks: &[TaskRow], newest: Option<u64>) -> Markup {
    html! {
        h2 { "Agents" }
        @if agents.is_empty() { p { "No agent has checked in yet (2222): " code { "fwdrill agent HOST" } " does." } }
        @else {
            div.all { (buttons(session, None)) }
            div.scroll tabindex="0" role="region" aria-label="Agents" { table {
                thead { tr { @for column in ["Agent", "Have it", "Task port", "Version", "Checked in"] { th scope="col" { (column) } } } }
                tbody { @for agent in agents { tr {
                    th scope="row" { (agent.name) }
                    td { (buttons(session, Some(&agent.name))) }
                    td.mono { (agent.peer.ip()) @match agent.task_port { Some(port) => { ":" (port) } None => { ", none" } } }
                    td { @match (&agent.version, agent.serial) {
                        (Some(version), Some(serial)) => {
                            (version) " (serial " (serial) ")"
                            @if newest.is_some_and(|newest| serial < newest) { " " span.warn { "behind" } }
                        }
                        _ => span.faint { "none yet" },
                    } }
                    td { (time(agent.seen)) }
                } } }
            } }
        }
        h2 { "Given" }
        @if tasks.is_empty() { p { "None yet." } }
        @else {
            p { a href="/tasks" { "Look again" } ": what waits is fetched with the agent's next check-in." }
            div.scroll tabindex="0" role="region" aria-label="Given tasks" { table #given {
                thead { tr { @for column in ["Task", "Agent", "State", "How", "Since", "Given"] { th scope="col" { (column) } } } }
                tbody { @for row in tasks { tr {
                    th scope="row" { (row.task.order) }
                    td { (row.task.client) }
                    td { (state(row.state)) }
                    td.wide { (row.detail) }
                    td { (time(row.changed)) }
                    td { (time(row.task.at)) }
                } } }
            } }
        }
    }
}

/// A button for each order: for one agent, or for all.
fn buttons(session: &SignedIn, agent: Option<&ClientName>) -> Markup {
    let whose = agent.map_or("all agents", ClientName::as_str);
    html! {
        form.buttons method="post" action="/tasks" {
            (csrf(session))
            @if let Some(agent) = agent { input type="hidden" name="client" value=(agent); }
            @for order in Order::ALL {
                button type="submit" name="task" value=(order) aria-label={ (title(order)) ": " (whose) } {
                    (title(order)) @if agent.is_none() { ", all" }
                }
            }
        }
    }
}

fn title(order: Order) -> &'static str {
    match order {
        Order::Probe => "Probe now",
        Order::Sync => "Sync now",
        Order::SendLog => "Send log",
        Order::Other => "Other",
    }
}

fn state(state: TaskState) -> Markup {
    let class = match state {
        TaskState::Waiting => "warn",
        TaskState::Delivered => "",
        TaskState::Done => "good",
        TaskState::Failed => "bad",
    };
    html! { span class=(class) { (state.name()) } }
}
