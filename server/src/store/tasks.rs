//! Agents as they checked in last, and their tasks from the moment they are given to their result.

use std::net::SocketAddr;

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::task::{CheckIn, LIFETIME, Order, Task, TaskResult};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::read::{damaged, moment, parsed};
use super::{Store, StoreError};

/// More agents are turned away.
const MOST_AGENTS: u32 = 10_000;
/// Of each agent's tasks the newest are kept.
const KEPT_OF_AN_AGENT: u32 = 50;

/// An agent, as it checked in last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its name.
    pub name: ClientName,
    /// When, by the server's clock.
    pub seen: Timestamp,
    /// From where, as the server saw it.
    pub peer: SocketAddr,
    /// At which address of the server.
    pub local: SocketAddr,
    /// Which fwdrill it runs.
    pub program: String,
    /// The version of the update set it has.
    pub version: Option<String>,
    /// The serial of that.
    pub serial: Option<u64>,
    /// Where it says that it listens for tasks.
    pub task_port: Option<u16>,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// The agent does not have it yet.
    Waiting,
    /// The agent has it.
    Delivered,
    /// It was carried out.
    Done,
    /// It was not, and will not be.
    Failed,
}

impl TaskState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Waiting => "waiting",
            TaskState::Delivered => "delivered",
            TaskState::Done => "done",
            TaskState::Failed => "failed",
        }
    }

    fn of(name: &str) -> rusqlite::Result<Self> {
        let all = [Self::Waiting, Self::Delivered, Self::Done, Self::Failed];
        let found = all.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| damaged(std::io::Error::other(format!("no state of a task: {name}"))))
    }
}

/// A task and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// The task.
    pub task: Task,
    /// How far it has come...
    pub state: TaskState,
    /// ...since when...
    pub changed: Timestamp,
    /// ...and how, or why not, for people.
    pub detail: String,
}

const TASK: &str = "SELECT id, client, task, given, state, changed, detail FROM task";

impl Store {
    /// An agent checks in: it and its results are kept; returns what it is to do, oldest first, or `None` if there are too many
    /// agents already.
    pub(crate) async fn check_in(
        &self,
        check_in: CheckIn,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Option<Vec<Task>>, StoreError> {
        self.change(move |connection| {
            let now = Timestamp::now();
            let client = check_in.client.as_str();
            if !has_room(connection, client)? {
                return Ok(None);
            }
            let serial = check_in.serial.map(|serial| i64::try_from(serial).unwrap_or(i64::MAX));
            connection
                .prepare_cached("INSERT OR REPLACE INTO agent VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    client,
                    now.as_millisecond(),
                    peer.to_string(),
                    local.to_string(),
                    check_in.program,
                    check_in.version,
                    serial,
                    check_in.task_port
                ])?;
            for result in &check_in.results {
                finish(connection, client, result, now)?;
            }
            give_up_expired(connection, now)?;
            let open = open_tasks(connection, client)?;
            for row in open.iter().filter(|row| row.state == TaskState::Waiting) {
                set(
                    connection,
                    row.task.id,
                    TaskState::Delivered,
                    "fetched by the agent",
                    now,
                )?;
            }
            Ok(Some(open.into_iter().map(|row| row.task).collect()))
        })
        .await
    }

    /// Gives an order to one agent or to all; an agent that has the same still before it gets no second one. Returns each
    /// task with whose it is.
    pub(crate) async fn give(
        &self,
        order: Order,
        to: Option<ClientName>,
    ) -> Result<Vec<(AgentRow, TaskRow)>, StoreError> {
        let agents: Vec<AgentRow> = match to {
            Some(name) => self.agent(name).await?.into_iter().collect(),
            None => self.agents().await?,
        };
        self.change(move |connection| {
            let now = Timestamp::now();
            give_up_expired(connection, now)?;
            let give = |agent: AgentRow| {
                let row = give_one(connection, order, &agent.name, now)?;
                Ok((agent, row))
            };
            agents.into_iter().map(give).collect()
        })
        .await
    }

    /// The agent has a task, or does not have it for this reason. Nothing that is known to have come further is changed.
    pub(crate) async fn pushed(&self, id: Uuid, state: TaskState, detail: String) -> Result<(), StoreError> {
        self.change(move |connection| {
            let now = Timestamp::now();
            match state {
                TaskState::Waiting => connection
                    .prepare_cached("UPDATE task SET detail = ?2, changed = ?3 WHERE id = ?1 AND state = 'waiting'")?
                    .execute(params![id.as_bytes(), detail, now.as_millisecond()])
                    .map(drop),
                state => set(connection, id, state, &detail, now),
            }
        })
        .await
    }

    /// What came of a task, told by whoever has carried it out.
    pub(crate) async fn finished(&self, client: ClientName, result: TaskResult) -> Result<(), StoreError> {
        self.change(move |connection| finish(connection, client.as_str(), &result, Timestamp::now()))
            .await
    }

    /// All agents, by name.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        self.query(|connection| {
            let mut all = connection.prepare_cached("SELECT * FROM agent ORDER BY name")?;
            all.query_map([], agent)?.collect()
        })
        .await
    }

    async fn agent(&self, name: ClientName) -> Result<Option<AgentRow>, StoreError> {
        self.query(move |connection| {
            let mut one = connection.prepare_cached("SELECT * FROM agent WHERE name = ?1")?;
            one.query_row([name.as_str()], agent).optional()
        })
        .await
    }

    /// The newest tasks of all agents, newest first.
    pub async fn tasks(&self, most: u32) -> Result<Vec<TaskRow>, StoreError> {
        self.query(move |connection| {
            let mut newest = connection.prepare_cached(&format!("{TASK} ORDER BY given DESC, id DESC LIMIT ?1"))?;
            newest.query_map([most], task)?.collect()
        })
        .await
    }

    /// One task; `None`: there is no such task (any more).
    pub async fn task(&self, id: Uuid) -> Result<Option<TaskRow>, StoreError> {
        self.query(move |connection| {
            let mut one = connection.prepare_cached(&format!("{TASK} WHERE id = ?1"))?;
            one.query_row([id.as_bytes()], task).optional()
        })
        .await
    }
}

fn has_room(connection: &Connection, client: &str) -> rusqlite::Result<bool> {
    let known = connection
        .prepare_cached("SELECT 1 FROM agent WHERE name = ?1")?
        .exists([client])?;
    let agents = || {
        connection
            .prepare_cached("SELECT count(*) FROM agent")?
            .query_row([], |row| row.get::<_, u32>(0))
    };
    Ok(known || agents()? < MOST_AGENTS)
}

fn give_one(connection: &Connection, order: Order, client: &ClientName, now: Timestamp) -> rusqlite::Result<TaskRow> {
    let before = connection
        .prepare_cached(&format!("{TASK} WHERE client = ?1 AND task = ?2 AND state = 'waiting'"))?
        .query_row((client.as_str(), order.name()), task)
        .optional()?;
    if let Some(before) = before {
        return Ok(before);
    }
    let row = TaskRow {
        task: Task::now(client.clone(), order),
        state: TaskState::Waiting,
        changed: now,
        detail: String::new(),
    };
    connection
        .prepare_cached("INSERT INTO task VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            row.task.id.as_bytes(),
            client.as_str(),
            order.name(),
            row.task.at.as_millisecond(),
            row.state.name(),
            now.as_millisecond(),
            row.detail
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM task WHERE client = ?1 AND id IN
             (SELECT id FROM task WHERE client = ?1 ORDER BY given DESC, id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![client.as_str(), KEPT_OF_AN_AGENT])?;
    Ok(row)
}

fn open_tasks(connection: &Connection, client: &str) -> rusqlite::Result<Vec<TaskRow>> {
    connection
        .prepare_cached(&format!(
            "{TASK} WHERE client = ?1 AND state IN ('waiting', 'delivered') ORDER BY given, id"
        ))?
        .query_map([client], task)?
        .collect()
}

fn finish(connection: &Connection, client: &str, result: &TaskResult, now: Timestamp) -> rusqlite::Result<()> {
    let state = if result.ok { TaskState::Done } else { TaskState::Failed };
    connection
        .prepare_cached("UPDATE task SET state = ?3, detail = ?4, changed = ?5 WHERE id = ?1 AND client = ?2 AND state IN ('waiting', 'delivered')")?
        .execute(params![result.id.as_bytes(), client, state.name(), result.detail, now.as_millisecond()])
        .map(drop)
}

fn set(connection: &Connection, id: Uuid, state: TaskState, detail: &str, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE task SET state = ?2, detail = ?3, changed = ?4 WHERE id = ?1 AND state = 'waiting'")?
        .execute(params![id.as_bytes(), state.name(), detail, now.as_millisecond()])
        .map(drop)
}

fn give_up_expired(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let oldest = now.as_millisecond().saturating_sub(LIFETIME.as_millis() as i64);
    connection
        .prepare_cached(
            "UPDATE task SET state = 'failed', detail = 'nothing was heard of it within a day', changed = ?2
             WHERE state IN ('waiting', 'delivered') AND given < ?1",
        )?
        .execute([oldest, now.as_millisecond()])
        .map(drop)
}

fn agent(row: &Row<'_>) -> rusqlite::Result<AgentRow> {
    Ok(AgentRow {
        name: row.get::<_, String>("name")?.parse().map_err(damaged)?,
        seen: moment(row.get("seen")?)?,
        peer: parsed(&row.get::<_, String>("peer")?)?,
        local: parsed(&row.get::<_, String>("local")?)?,
        program: row.get("program")?,
        version: row.get("version")?,
        serial: row
            .get::<_, Option<i64>>("serial")?
            .and_then(|serial| serial.try_into().ok()),
        task_port: row.get("task_port")?,
    })
}

fn task(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        task: Task {
            schema: Task::SCHEMA.to_owned(),
            id: Uuid::from_bytes(row.get("id")?),
            at: moment(row.get("given")?)?,
            client: row.get::<_, String>("client")?.parse().map_err(damaged)?,
            order: row.get::<_, String>("task")?.parse().map_err(damaged)?,
        },
        state: TaskState::of(&row.get::<_, String>("state")?)?,
        changed: moment(row.get("changed")?)?,
        detail: row.get("detail")?,
    })
}
