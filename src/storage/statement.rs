//! Statements with a fixed text, which stay prepared on their connection.
//!
//! A `sql_query` of Diesel is prepared again on every call, which doubles the round trips of a small statement. The text
//! of a [`FixedStatement`] never changes, so its type can be the key in the connection's statement cache. Each `?` in the
//! text is bound once, in order.

use std::str::Split;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, HasSqlType, SingleValue, Untyped};

use super::operation;

/// A statement whose text never changes.
pub(super) trait FixedStatement {
    /// The name in metrics. The text that PostgreSQL receives begins with it, as a comment.
    const NAME: &'static str;
    /// The text, with a `?` for each bound value.
    const SQL: &'static str;

    /// Binds the values in the order of the text.
    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()>;
}

/// Writes the text and the values of a statement alternately.
pub(super) struct Binder<'a, 'b> {
    pieces: Split<'static, char>,
    out: AstPass<'a, 'b, Pg>,
}

impl<'b> Binder<'_, 'b> {
    pub(super) fn bind<ST, T>(&mut self, value: &'b T) -> QueryResult<()>
    where
        Pg: HasSqlType<ST>,
        T: ToSql<ST, Pg> + ?Sized,
    {
        self.out.push_sql(self.pieces.next().unwrap_or_default());
        self.out.push_bind_param::<ST, T>(value)
    }
}

impl<'b> Binder<'_, 'b> {
    /// Writes `unnest(…) AS alias (…)` at the next `?`, with one array bound for each column of `rows`.
    pub(super) fn bind_rows(&mut self, alias: &str, rows: &'b impl Rows) -> QueryResult<()> {
        self.out.push_sql(self.pieces.next().unwrap_or_default());
        self.out.push_sql("unnest(");
        rows.bind_arrays(&mut Arrays { out: self.out.reborrow(), is_first: true })?;
        self.out.push_sql(") AS ");
        self.out.push_sql(alias);
        self.out.push_sql(" (");
        self.push_names(rows.names());
        self.out.push_sql(")");
        Ok(())
    }

    /// Writes a list of column names at the next `?`.
    pub(super) fn write_names(&mut self, names: &[&'static str]) {
        self.out.push_sql(self.pieces.next().unwrap_or_default());
        self.push_names(names);
    }

    fn push_names(&mut self, names: &[&'static str]) {
        for (index, name) in names.iter().enumerate() {
            self.out.push_sql(if index == 0 { "" } else { ", " });
            self.out.push_sql(name);
        }
    }
}

/// The rows of a set-based statement, as one array per column; declared by [`rows!`].
pub(super) trait Rows {
    /// The names of the columns, in order.
    fn names(&self) -> &'static [&'static str];

    /// Binds the columns, in order.
    fn bind_arrays<'b>(&'b self, arrays: &mut Arrays<'_, 'b>) -> QueryResult<()>;
}

/// Binds the arrays of a statement's rows, separated by commas.
pub(super) struct Arrays<'a, 'b> {
    out: AstPass<'a, 'b, Pg>,
    is_first: bool,
}

impl<'b> Arrays<'_, 'b> {
    pub(super) fn bind<ST, T>(&mut self, values: &'b Vec<T>) -> QueryResult<()>
    where
        ST: SingleValue,
        Pg: HasSqlType<Array<ST>>,
        Vec<T>: ToSql<Array<ST>, Pg>,
    {
        self.out.push_sql(if std::mem::take(&mut self.is_first) { "" } else { ", " });
        self.out.push_bind_param::<Array<ST>, Vec<T>>(values)
    }
}

/// Declares the rows of a set-based statement: a struct for one row, and a struct with one array per column. The arrays,
/// their types and order, and the column names in the statement all come from this list.
macro_rules! rows {
    ($(#[$meta:meta])* struct $rows:ident of $row:ident { $($column:ident: $value:ty as $sql:ty,)* }) => {
        struct $row {
            $($column: $value,)*
        }

        $(#[$meta])*
        #[derive(Default)]
        struct $rows {
            $($column: Vec<$value>,)*
        }

        impl $rows {
            const NAMES: &'static [&'static str] = &[$(stringify!($column),)*];
        }

        impl FromIterator<$row> for $rows {
            fn from_iter<I: IntoIterator<Item = $row>>(rows: I) -> Self {
                let mut arrays = Self::default();
                for row in rows {
                    $(arrays.$column.push(row.$column);)*
                }
                arrays
            }
        }

        impl $crate::storage::statement::Rows for $rows {
            fn names(&self) -> &'static [&'static str] {
                Self::NAMES
            }

            fn bind_arrays<'b>(
                &'b self,
                arrays: &mut $crate::storage::statement::Arrays<'_, 'b>,
            ) -> diesel::QueryResult<()> {
                $(arrays.bind::<$sql, $value>(&self.$column)?;)*
                Ok(())
            }
        }
    };
}
pub(super) use rows;

/// Adapts a [`FixedStatement`] to Diesel.
pub(super) struct Prepared<S>(pub(super) S);

impl<S: FixedStatement> QueryFragment<Pg> for Prepared<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(operation::COMMENT_START);
        out.push_sql(S::NAME);
        out.push_sql(operation::COMMENT_END);
        let mut binder = Binder { pieces: S::SQL.split('?'), out };
        self.0.bind(&mut binder)?;
        binder.out.push_sql(binder.pieces.next().unwrap_or_default());
        Ok(())
    }
}

impl<S: 'static> QueryId for Prepared<S> {
    type QueryId = S;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S> Query for Prepared<S> {
    type SqlType = Untyped;
}

/// A [`FixedStatement`] that is planned but not run.
pub(super) struct Explained<S>(pub(super) S);

impl<S: FixedStatement> QueryFragment<Pg> for Explained<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN (COSTS OFF) ");
        let mut binder = Binder { pieces: S::SQL.split('?'), out };
        self.0.bind(&mut binder)?;
        binder.out.push_sql(binder.pieces.next().unwrap_or_default());
        Ok(())
    }
}

impl<S> QueryId for Explained<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<S> Query for Explained<S> {
    type SqlType = Untyped;
}
