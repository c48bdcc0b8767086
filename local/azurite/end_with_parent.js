// Preloaded before Azurite: ends it when the program that started it dies and so closes our standard input.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
