"""QuestionAnswering: answers to questions about texts, as words of the text."""
