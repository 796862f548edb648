export * from "ansi_up";
