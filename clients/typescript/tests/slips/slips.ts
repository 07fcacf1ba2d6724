/** Every line that awaits is a mistake that the types refuse. */
import { connect, expect } from 'taskwell-client'

const taskwell = connect('http://127.0.0.1:8000')

await taskwell.GET('/api/task')
await taskwell.POST('/api/tasks', { body: { titel: 'Buy milk' } })
await taskwell.POST('/api/tasks', { body: { title: 17 } })
await taskwell.PATCH('/api/tasks/{task_id}', { body: { title: 'Buy milk' } })
await taskwell.GET('/api/tasks', { params: { query: { status: 'done' } } })
await expect(taskwell.GET('/api/tasks')).then((tasks) => tasks[0]?.done)

export {}
