"""Conversations: exports of messengers and assistants, and logs of chats; one document a conversation."""
