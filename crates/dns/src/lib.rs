//! Answers DNS inside VPCs: a pure answer(view, query) and the UDP/TCP server around it.
