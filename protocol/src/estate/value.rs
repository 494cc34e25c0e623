//! A value as some layer wrote it, and how to read it as what a key wants.

use std::str::FromStr;

use serde::de::DeserializeOwned;

/// A value as written: a TOML file has types, the environment, flags and `eserv.ini` only text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Toml(toml::Value),
}

/// Why a value does not fit; `Some` where there is more to say than what the key expects.
pub(crate) type Misfit = Option<String>;

impl Value {
    pub(crate) fn text(&self) -> Result<&str, Misfit> {
        match self {
            Value::Text(text) | Value::Toml(toml::Value::String(text)) => Ok(text.trim()),
            Value::Toml(_) => Err(None),
        }
    }

    /// A value with a text form of its own: an address, a host, a port set.
    pub(crate) fn parsed<T: FromStr>(&self) -> Result<T, Misfit> {
        self.text()?.parse().map_err(|_| None)
    }

    pub(crate) fn boolean(&self) -> Result<bool, Misfit> {
        match self {
            Value::Toml(toml::Value::Boolean(value)) => Ok(*value),
            Value::Toml(_) => Err(None),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(None),
            },
        }
    }

    pub(crate) fn integer<T: TryFrom<i64>>(&self) -> Result<T, Misfit> {
        let number = match self {
            Value::Toml(toml::Value::Integer(number)) => *number,
            Value::Toml(_) => return Err(None),
            Value::Text(text) => text.trim().parse().map_err(|_| None)?,
        };
        T::try_from(number).map_err(|_| None)
    }

    pub(crate) fn number(&self) -> Result<f64, Misfit> {
        match self {
            Value::Toml(toml::Value::Float(number)) => Ok(*number),
            Value::Toml(toml::Value::Integer(number)) => Ok(*number as f64),
            Value::Toml(_) => Err(None),
            Value::Text(text) => text.trim().parse().map_err(|_| None),
        }
    }

    /// A table or an array of tables; as text, written in TOML's inline form.
    pub(crate) fn structured<T: DeserializeOwned>(&self) -> Result<T, Misfit> {
        let value = match self {
            Value::Toml(value) => value.clone(),
            Value::Text(text) => text.parse().map_err(|_| None)?,
        };
        // The message only: the whole error quotes the text it stands in, which may hold a password.
        value
            .try_into()
            .map_err(|error: toml::de::Error| Some(error.message().to_owned()))
    }

    /// As a person wrote it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Value::Text(text) => format!("{text:?}"),
            Value::Toml(value) => value.to_string(),
        }
    }
}
