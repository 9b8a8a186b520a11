"""Mail: mailboxes and single messages; a message is a document, without headers, quotes and signatures."""
