/** What the types refuse. Each line that they would let pass is an error of the compiler's. */
import { expect, type Taskwell } from 'taskwell-client'

export async function slips(taskwell: Taskwell) {
  // @ts-expect-error no such path
  await taskwell.GET('/api/task')
  // @ts-expect-error a slip in a member's name
  await taskwell.POST('/api/tasks', { body: { titel: 'Buy milk' } })
  // @ts-expect-error a title is text
  await taskwell.POST('/api/tasks', { body: { title: 17 } })
  // @ts-expect-error a title is needed
  await taskwell.POST('/api/tasks', { body: {} })
  // @ts-expect-error whose change?
  await taskwell.PATCH('/api/tasks/{task_id}', { body: { title: 'Buy milk' } })
  // @ts-expect-error no such status
  await taskwell.GET('/api/tasks', { params: { query: { status: 'done' } } })
  // @ts-expect-error no such field of a task
  await expect(taskwell.GET('/api/tasks')).then((tasks) => tasks[0]?.done)
}
