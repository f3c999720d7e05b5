#![doc = include_str!("../README.md")]

mod vector;

pub use vector::DeletionVector;
