//! Statements of a fixed text, which stay prepared on their connection.
//!
//! Diesel's `sql_query` is parsed and planned anew at each call, which doubles the round trips of a small statement.
//! A [`FixedStatement`] has one text for ever, so that its type can serve as the key of the connection's cache. Each
//! `?` in the text is bound once, in order.

use std::str::Split;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// A statement whose text never changes.
pub(super) trait FixedStatement {
    /// The text, with a `?` for each bound value.
    const SQL: &'static str;

    /// Binds the values, in the order of the text.
    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()>;
}

/// Writes the text and the values of a statement, turn by turn.
pub(super) struct Binder<'a, 'b> {
    pieces: Split<'static, char>,
    out: AstPass<'a, 'b, Pg>,
}

impl<'b> Binder<'_, 'b> {
    /// Binds the next value.
    pub(super) fn bind<ST, T>(&mut self, value: &'b T) -> QueryResult<()>
    where
        Pg: HasSqlType<ST>,
        T: ToSql<ST, Pg> + ?Sized,
    {
        self.out.push_sql(self.pieces.next().unwrap_or_default());
        self.out.push_bind_param::<ST, T>(value)
    }
}

/// A [`FixedStatement`] as Diesel sees it.
pub(super) struct Prepared<S>(pub(super) S);

impl<S: FixedStatement> QueryFragment<Pg> for Prepared<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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

/// A [`FixedStatement`] that is planned and not run.
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
