module finetune-operator.io/tests/tools/pause

go 1.26.8
