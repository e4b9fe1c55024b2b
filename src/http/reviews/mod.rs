//! Endpoints of the review queue: applications under review and their assignment to analysts.

pub mod assignment;
pub mod assignment_of;
pub mod list;
pub mod next;
mod view;
