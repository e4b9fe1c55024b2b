//! Spain.
